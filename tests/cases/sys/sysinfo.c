// sysinfo, /proc/meminfo and sysconf tell one story.
#include "../case.h"
#include <sys/sysinfo.h>
static long field(const char *name) {
    char *at = strstr(get("/proc/meminfo"), name);
    return at ? atol(at + strlen(name)) : -1;
}
int main(void) {
    struct sysinfo s;
    NUM(sysinfo(&s));
    IS(s.uptime >= 0 && s.procs > 0);
    IS(s.totalram * (unsigned long)s.mem_unit / 1024 == (unsigned long)field("MemTotal:"));
    IS(field("MemFree:") > 0 && field("MemFree:") <= field("MemTotal:"));
    IS(field("MemAvailable:") > 0 && field("MemAvailable:") <= field("MemTotal:"));
    IS(field("SwapTotal:") >= 0 && field("Cached:") >= 0 && field("Buffers:") >= 0 && field("Shmem:") >= 0);
    IS(sysconf(_SC_PHYS_PAGES) * 4 == field("MemTotal:"));
    IS(get_nprocs() == sysconf(_SC_NPROCESSORS_ONLN) && get_nprocs_conf() >= get_nprocs());
    double up, idle;
    IS(sscanf(get("/proc/uptime"), "%lf %lf", &up, &idle) == 2 && labs((long)up - s.uptime) <= 1);
    double l[3];
    int running, all, last;
    IS(sscanf(get("/proc/loadavg"), "%lf %lf %lf %d/%d %d", l, l + 1, l + 2, &running, &all, &last) == 6);
    NUM(sysinfo((void *)8));
    NUM(sysconf(_SC_PAGESIZE)), NUM(sysconf(_SC_OPEN_MAX) > 0);
}
