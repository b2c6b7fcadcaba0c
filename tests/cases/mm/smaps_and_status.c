// Memory accounting moves with use: VmSize by mappings, VmRSS by touch, statm agrees.
#include "../case.h"
static long field(const char *name) {
    char *at = strstr(get("/proc/self/status"), name);
    return at ? atol(at + strlen(name) + 1) : -1;
}
int main(void) {
    long size = field("VmSize"), rss = field("VmRSS"), data = field("VmData");
    IS(size > 0 && rss > 0 && data > 0);
    char *a = MUST(mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    IS(field("VmSize") - size >= 64 << 10 && field("VmSize") - size < 66 << 10);
    IS(field("VmRSS") - rss < 4 << 10);
    memset(a, 1, 32 << 20);
    IS(field("VmRSS") - rss >= 30 << 10);
    IS(field("VmHWM") >= field("VmRSS"));
    char *at = get("/proc/self/status");
    long most = atol(strstr(at, "VmPeak:") + 7), now = atol(strstr(at, "VmSize:") + 7);
    IS(most >= now && now - size >= 64 << 10);
    long s, r;
    sscanf(get("/proc/self/statm"), "%ld %ld", &s, &r);
    IS(s * 4 == field("VmSize"));
    IS(labs(r * 4 - field("VmRSS")) < 1024);
    MUST(munmap(a, 64 << 20));
    IS(field("VmSize") - size < 2 << 10);
    IS(field("VmPeak") >= most);
    IS(field("VmRSS") - rss < 8 << 10);
    IS(strstr(get("/proc/self/smaps"), "Private_Dirty:") != NULL);
}
