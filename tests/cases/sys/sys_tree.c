// /sys as programs read it: processors, nodes, network classes.
#include "../case.h"
int main(void) {
    const char *paths[] = {"/sys/devices/system/cpu", "/sys/devices/system/cpu/cpu0", "/sys/class/net/lo", "/sys/devices/system/node", "/sys/kernel/mm/transparent_hugepage/enabled", "/sys/fs/cgroup", "/sys/block", "/sys/class"};
    for (int i = 0; i < 8; i++)
        say("%s: %s", paths[i], access(paths[i], F_OK) ? errname(errno) : "there");
    int lo, hi;
    int n = sscanf(get("/sys/devices/system/cpu/online"), "%d-%d", &lo, &hi);
    IS((n == 1 ? 1 : hi - lo + 1) == sysconf(_SC_NPROCESSORS_ONLN));
    NUM(open("/sys/nothing", O_RDONLY)), NUM(mkdir("/sys/x", 0755) < 0);
}
