// Processes that make, rename and remove in one directory leave it consistent.
#include "../case.h"
int main(void) {
    scratch();
    pid_t pids[4];
    for (int i = 0; i < 4; i++) {
        pids[i] = MUST(fork());
        if (!pids[i]) {
            char a[32], b[32];
            int bad = 0;
            for (int j = 0; j < 300; j++) {
                sprintf(a, "t%d-%d", i, j % 7), sprintf(b, "r%d-%d", i, j % 5);
                int fd = open(a, O_CREAT | O_RDWR | O_EXCL, 0600);
                bad += fd < 0;
                close(fd);
                bad += rename(a, b) != 0;
                if (j % 3 == 0)
                    bad += unlink(b) != 0;
                else
                    bad += rename(b, "common") != 0;
            }
            _exit(bad != 0);
        }
    }
    for (int i = 0; i < 4; i++)
        reap("worker", pids[i]);
    DIR *d = opendir(".");
    for (struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.')
            say("%s", e->d_name);
    struct stat s;
    stat("common", &s);
    NUM(s.st_nlink);
}
