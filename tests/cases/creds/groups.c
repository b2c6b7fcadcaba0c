// Supplementary groups: set, get, sizes, who may, and that they count in permission checks.
#include "../case.h"
#include <grp.h>
int main(void) {
    gid_t g[4] = {5, 3, 9, 3}, got[16];
    NUM(setgroups(4, g)), NUM(getgroups(0, NULL));
    int n = NUM(getgroups(16, got));
    for (int i = 0; i < n; i++)
        say("%d", got[i]);
    NUM(getgroups(2, got)), NUM(getgroups(-1, got)), NUM(setgroups(70000, g)), NUM(setgroups(2, (void *)8));
    IS(strstr(get("/proc/self/status"), "Groups:\t3 3 5 9") != NULL);
    NUM(setgroups(0, NULL)), NUM(getgroups(16, got));
    NUM(setgroups(1, g));
    if (setuid(1000))
        return 9;
    NUM(setgroups(1, g));
    pid_t pid = MUST(fork());
    if (!pid)
        _exit(getgroups(16, got) == 1 && got[0] == 5 ? 0 : 1);
    reap("child", pid);
}
