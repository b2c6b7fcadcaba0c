// Copy on write under many forks: every process sees its own values, whatever the order of writes.
#include "../case.h"
static int pages[256][1024];
int main(void) {
    for (int i = 0; i < 256; i++)
        pages[i][5] = i;
    pid_t pids[12];
    for (int c = 0; c < 12; c++) {
        pids[c] = MUST(fork());
        if (!pids[c]) {
            int bad = 0;
            for (int i = 0; i < 256; i++)
                bad += pages[i][5] != i + (i == 7 ? c : 0);
            for (int i = c; i < 256; i += 3)
                pages[i][5] = -c;
            if (c % 3 == 0) {
                pid_t grand = fork();
                if (!grand) {
                    for (int i = 0; i < 256; i++)
                        bad += pages[i][5] != (i >= c && (i - c) % 3 == 0 ? -c : i + (i == 7 ? c : 0));
                    _exit(bad > 100 ? 100 : bad);
                }
                int status;
                waitpid(grand, &status, 0);
                bad += WEXITSTATUS(status);
            }
            _exit(bad > 100 ? 100 : bad);
        }
        pages[7][5]++;
    }
    for (int c = 0; c < 12; c++)
        reap("child", pids[c]);
    int bad = 0;
    for (int i = 0; i < 256; i++)
        bad += pages[i][5] != i + (i == 7 ? 12 : 0);
    NUM(bad);
}
