// C streams: append, update, seek, unget, buffering over fork, fmemopen, tmpnam-less exchange, line lengths.
#include "../case.h"
int main(void) {
    scratch();
    FILE *f = fopen("f", "w+");
    fprintf(f, "%d %s %.3f\n", 42, "text", 3.14159);
    rewind(f);
    int n;
    char word[16];
    double d;
    NUM(fscanf(f, "%d %15s %lf", &n, word, &d));
    say("%d %s %.2f", n, word, d);
    fseek(f, 0, SEEK_END);
    NUM(ftell(f));
    fclose(f);
    f = fopen("f", "a+");
    fputs("appended\n", f);
    rewind(f);
    char *line = NULL;
    size_t size = 0;
    while (getline(&line, &size, f) > 0)
        say("%.*s", (int)strcspn(line, "\n"), line);
    fclose(f);
    f = fopen("g", "w");
    fputs("once", f);
    fflush(f);
    pid_t pid = MUST(fork());
    if (!pid)
        exit(0);
    reap("child", pid);
    fclose(f);
    say("%s", get("g"));
    f = fopen("big", "w");
    for (int i = 0; i < 100000; i++)
        fputc('a' + i % 26, f);
    fclose(f);
    f = fopen("big", "r");
    fseek(f, 77777, SEEK_SET);
    say("%c", fgetc(f));
    ungetc('Z', f);
    say("%c %ld", fgetc(f), ftell(f));
    fclose(f);
    say("%s", fopen("missing/x", "w") ? "opened" : errname(errno));
    f = popen("exit 3", "r");
    say("%d", f ? WEXITSTATUS(pclose(f)) > 0 : -1);
}
