// /proc/self/limits, oom_score_adj, cgroup, and files that may be written.
#include "../case.h"
int main(void) {
    struct rlimit l = {123, 456};
    MUST(setrlimit(RLIMIT_NOFILE, &l));
    char *text = get("/proc/self/limits");
    IS(!strncmp(text, "Limit                     Soft Limit           Hard Limit           Units", 60));
    char *line = strstr(text, "Max open files");
    say("%.78s", line ? line : "missing");
    IS(strstr(text, "Max stack size") && strstr(text, "unlimited"));
    say("%s", get("/proc/self/oom_score_adj"));
    int fd = MUST(open("/proc/self/oom_score_adj", O_RDWR));
    NUM(write(fd, "500", 3));
    say("%s", get("/proc/self/oom_score_adj"));
    NUM(write(fd, "5000", 4)), NUM(write(fd, "x", 1));
    IS(strchr(get("/proc/self/cgroup"), ':') != NULL);
    IS(strlen(get("/proc/self/wchan")) < 100);
    IS(strncmp(get("/proc/self/io"), "rchar: ", 7) == 0);
    NUM(strlen(get("/proc/self/auxv")) > 0);
    NUM(open("/proc/self/stat", O_WRONLY) >= 0 ? write(MUST(open("/proc/self/stat", O_WRONLY)), "x", 1) : -2);
}
