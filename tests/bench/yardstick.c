/* yardstick http|ftp PORT HOST...
 *
 * The bare system calls of a sweep over numeric addresses, and nothing else: what no monitor can be
 * faster than. Status 0 where every host answered as a good one does.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define AT_ONCE 512

static const char *request, *good;
static int loop, open_now, good_ones, is_ftp;

static void start(const char *host, int port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    int sock = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct epoll_event event = {.events = is_ftp ? EPOLLIN : EPOLLOUT, .data.fd = sock};

    inet_pton(AF_INET, host, &to.sin_addr);
    if (connect(sock, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS)
        exit(1);
    epoll_ctl(loop, EPOLL_CTL_ADD, sock, &event);
    open_now++;
}

static void go_on(struct epoll_event *event)
{
    char page[16384];
    int sock = event->data.fd;

    if (event->events & EPOLLOUT && !is_ftp) {
        struct epoll_event next = {.events = EPOLLIN, .data.fd = sock};
        if (send(sock, request, strlen(request), 0) > 0 && !epoll_ctl(loop, EPOLL_CTL_MOD, sock, &next))
            return;
    }
    ssize_t count = recv(sock, page, sizeof page - 1, 0);
    page[count > 0 ? count : 0] = 0;
    if (is_ftp && !strncmp(page, "220", 3) && send(sock, request, strlen(request), 0) > 0)
        return;
    good_ones += strstr(page, good) != NULL;
    close(sock);
    open_now--;
}

int main(int argc, char **argv)
{
    struct epoll_event events[AT_ONCE];
    int next = 3;

    is_ftp = argc > 1 && !strcmp(argv[1], "ftp");
    request = is_ftp ? "QUIT\r\n" : "GET / HTTP/1.1\r\nHost: yardstick\r\nConnection: close\r\n\r\n";
    good = is_ftp ? "221" : "HTTP/1.1 200";
    loop = epoll_create1(EPOLL_CLOEXEC);
    while (next < argc || open_now) {
        while (next < argc && open_now < AT_ONCE)
            start(argv[next++], atoi(argv[2]));
        for (int left = epoll_wait(loop, events, AT_ONCE, 10000); left > 0; left--)
            go_on(&events[left - 1]);
    }
    return good_ones != argc - 3;
}
