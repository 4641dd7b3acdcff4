/* An ipvsadm that does next to nothing, so that what is measured is who calls it.
 *
 * It adds its arguments to the file `called` beside itself. To -Sn it answers the file `rules`, to
 * other listings `thresholds`; after -R, which leaves the file `restored`, -Sn gets `after`.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void show(const char *name)
{
    char data[1 << 16];
    ssize_t count;
    int file = open(name, O_RDONLY);

    while (file >= 0 && (count = read(file, data, sizeof data)) > 0)
        if (write(1, data, count) != count)
            exit(1);
}

int main(int argc, char **argv)
{
    char line[4096] = "";
    int log, length = 0;

    if (chdir(dirname(strdup(argv[0]))) < 0 || (log = open("called", O_WRONLY | O_CREAT | O_APPEND, 0644)) < 0)
        return 1;
    for (int each = 1; each < argc; each++)
        length += snprintf(line + length, sizeof line - length, "%s ", argv[each]);
    line[length] = '\n';
    if (write(log, line, length + 1) != length + 1)
        return 1;
    if (argc > 1 && !strcmp(argv[1], "-Sn"))
        show(access("restored", F_OK) ? "rules" : "after");
    else if (argc > 1 && !strcmp(argv[1], "-R"))
        return open("restored", O_WRONLY | O_CREAT, 0644) < 0;
    else if (argc > 1 && argv[1][0] == '-' && argv[1][1] == 'L')
        show("thresholds");
    return 0;
}
