// /proc/cpuinfo and /proc/stat have an entry for each processor.
#include "../case.h"
int main(void) {
    char *text = get("/proc/cpuinfo");
    int n = 0;
    for (char *at = text; (at = strstr(at, "processor\t:")); at++)
        n++;
    IS(n == sysconf(_SC_NPROCESSORS_ONLN));
    IS(strstr(text, "vendor_id\t:") && strstr(text, "model name\t:") && strstr(text, "flags\t\t:") && strstr(text, "cpu MHz\t\t:"));
    IS(strstr(text, " sse2 ") && strstr(text, " lm "));
    text = get("/proc/stat");
    int cpus = 0;
    for (char *line = text; line && *line; line = strchr(line, '\n'), line += line != NULL)
        cpus += !strncmp(line, "cpu", 3) && isdigit(line[3]);
    NUM(cpus == n);
    unsigned long v[7];
    IS(sscanf(text, "cpu %lu %lu %lu %lu %lu %lu %lu", v, v + 1, v + 2, v + 3, v + 4, v + 5, v + 6) == 7);
    IS(strstr(text, "\nbtime ") && strstr(text, "\nprocesses ") && strstr(text, "\nctxt "));
    long btime = atol(strstr(get("/proc/stat"), "btime ") + 6);
    IS(btime > 1600000000 && btime <= time(NULL));
    IS(strlen(get("/sys/devices/system/cpu/online")) > 0);
    IS(strlen(get("/sys/devices/system/cpu/possible")) > 0);
}
