/* measure COMMANDS INPUT OUTPUT
 *
 * Runs the commands of a file one after the other, a line each, its words parted by tabs, with the
 * file INPUT as standard input and OUTPUT as standard output and error. Prints seconds of user and
 * system time of all of them with their children, seconds in all, the largest process's peak
 * memory in KiB, and the worst exit status. It is small itself, since a child's peak begins with
 * what its parent had.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double seconds(struct timeval t) { return t.tv_sec + t.tv_usec / 1e6; }

int main(int argc, char **argv)
{
    char *line = NULL, *words[20001];
    size_t size = 0;
    double user = 0, sys = 0;
    long memory = 0;
    int worst = 0, status;
    struct timespec begun, ended;
    FILE *commands = argc == 4 ? fopen(argv[1], "re") : NULL;

    if (!commands)
        return 2;
    clock_gettime(CLOCK_MONOTONIC, &begun);
    while (getline(&line, &size, commands) > 0) {
        int count = 0;
        struct rusage used;
        line[strcspn(line, "\n")] = 0;
        for (char *word = strtok(line, "\t"); word && count < 20000; word = strtok(NULL, "\t"))
            words[count++] = word;
        words[count] = NULL;
        pid_t child = fork();
        if (!child) {
            int in = open(argv[2], O_RDONLY), out = open(argv[3], O_WRONLY | O_CREAT | O_APPEND, 0644);
            if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
                _exit(126);
            execv(words[0], words);
            _exit(127);
        }
        if (child < 0 || wait4(child, &status, 0, &used) < 0)
            return 2;
        user += seconds(used.ru_utime);
        sys += seconds(used.ru_stime);
        memory = used.ru_maxrss > memory ? used.ru_maxrss : memory;
        status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        worst = status > worst ? status : worst;
    }
    clock_gettime(CLOCK_MONOTONIC, &ended);
    printf("%f %f %f %ld %d\n", user, sys,
           ended.tv_sec - begun.tv_sec + (ended.tv_nsec - begun.tv_nsec) / 1e9, memory, worst);
    return 0;
}
