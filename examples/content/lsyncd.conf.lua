-- lsyncd: copies what changes on this web server to the two others, a few seconds later.
-- The times of files go with them (archive), so that nginx and Apache give the same ETag.
settings {
    logfile = "/var/log/lsyncd.log",
    statusFile = "/run/lsyncd.status",
}
for _, target in ipairs { "192.168.0.2::www", "192.168.0.3::www" } do
    sync {
        default.rsync,
        source = "/srv/www",
        target = target,
        delay = 1,
        rsync = { archive = true },
    }
end
