// A pipeline of processes as a shell makes it: data flow, end of file, statuses.
#include "../case.h"
int main(void) {
    int in[2], mid[2], out[2];
    MUST(pipe(in));
    pid_t a = MUST(fork());
    if (!a) {
        dup2(in[1], 1);
        close(in[0]), close(in[1]);
        for (int i = 1; i <= 3000; i++)
            dprintf(1, "%d\n", i);
        _exit(0);
    }
    close(in[1]);
    MUST(pipe(mid));
    pid_t b = MUST(fork());
    if (!b) {
        dup2(in[0], 0), dup2(mid[1], 1);
        close(in[0]), close(mid[0]), close(mid[1]);
        char line[64];
        while (fgets(line, sizeof line, stdin))
            if (atoi(line) % 7 == 0)
                dprintf(1, "%d\n", atoi(line) * 2);
        _exit(1);
    }
    close(in[0]), close(mid[1]);
    MUST(pipe(out));
    pid_t c = MUST(fork());
    if (!c) {
        dup2(mid[0], 0);
        close(mid[0]), close(out[0]);
        long sum = 0, n;
        while (scanf("%ld", &n) == 1)
            sum += n;
        dprintf(out[1], "%ld", sum);
        _exit(2);
    }
    close(mid[0]), close(out[1]);
    char text[32] = "";
    read(out[0], text, 31);
    say("%s", text);
    reap("a", a), reap("b", b), reap("c", c);
}
