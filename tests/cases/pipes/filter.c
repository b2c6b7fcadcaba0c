// A child that transforms its input: a thousand lines through standard streams, and its status.
#include "../case.h"
extern char **environ;
int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "upper")) {
        int c;
        while ((c = getchar()) != EOF)
            putchar(toupper(c));
        return 3;
    }
    int in[2], out[2];
    MUST(pipe(in)), MUST(pipe(out));
    pid_t pid = MUST(fork());
    if (!pid) {
        dup2(in[0], 0), dup2(out[1], 1);
        close_range(3, ~0U, 0);
        execl("/proc/self/exe", "x", "upper", NULL);
        _exit(9);
    }
    close(in[0]), close(out[1]);
    FILE *w = fdopen(in[1], "w"), *r = fdopen(out[0], "r");
    for (int i = 0; i < 1000; i++)
        fprintf(w, "line %d\n", i);
    fclose(w);
    char line[64], last[64] = "";
    int n = 0;
    while (fgets(line, sizeof line, r))
        n++, strcpy(last, line);
    say("%d lines, last %s", n, last);
    reap("upper", pid);
}
