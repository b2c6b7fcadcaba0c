// O_APPEND: writers in several processes lose nothing; pwrite on it appends too.
#include "../case.h"
int main(void) {
    scratch();
    pid_t pids[4];
    for (int i = 0; i < 4; i++) {
        pids[i] = MUST(fork());
        if (!pids[i]) {
            int fd = MUST(open("log", O_WRONLY | O_CREAT | O_APPEND, 0644));
            char line[16];
            for (int j = 0; j < 200; j++) {
                sprintf(line, "%d:%03d\n", i, j);
                MUST(write(fd, line, 6));
            }
            _exit(0);
        }
    }
    for (int i = 0; i < 4; i++)
        reap("writer", pids[i]);
    char *text = get("log");
    NUM(strlen(text));
    int next[4] = {0}, wrong = 0;
    for (char *l = text; *l; l += 6)
        wrong += atoi(l + 2) != next[*l - '0']++ || l[5] != '\n';
    NUM(wrong);
    int fd = MUST(open("log", O_WRONLY | O_APPEND));
    NUM(pwrite(fd, "end", 3, 0));
    NUM(lseek(fd, 0, SEEK_CUR));
    NUM(strlen(get("log")));
    NUM(fcntl(fd, F_SETFL, 0));
    NUM(pwrite(fd, "XYZ", 3, 0));
    say("%.4s", get("log"));
}
