// /proc/self/task/TID files agree with the process's; children; fd counts.
#include "../case.h"
static int count(const char *path) {
    DIR *d = opendir(path);
    int n = 0;
    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n;
}
int main(void) {
    char path[100], own[5000];
    strcpy(own, get("/proc/self/cmdline"));
    sprintf(path, "/proc/self/task/%d/cmdline", gettid());
    IS(!strcmp(own, get(path)));
    sprintf(path, "/proc/self/task/%d/maps", gettid());
    IS(strstr(get(path), "[stack]") != NULL);
    sprintf(path, "/proc/%d/task/%d/comm", getpid(), gettid());
    IS(strlen(get(path)) > 1);
    int before = count("/proc/self/fd");
    int fd = dup(1);
    NUM(count("/proc/self/fd") - before);
    close(fd);
    pid_t pid = MUST(fork());
    if (!pid)
        for (;;)
            pause();
    sprintf(path, "/proc/self/task/%d/children", gettid());
    IS(atoi(get(path)) == pid);
    sprintf(path, "/proc/%d/fd", pid);
    IS(count(path) >= 5);
    kill(pid, SIGKILL), waitpid(pid, NULL, 0);
    IS(count(path) == 0);
}
