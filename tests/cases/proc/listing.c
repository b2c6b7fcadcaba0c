// /proc lists every process of this program, and tasks of each; entries come and go.
#include "../case.h"
static int listed(const char *folder, int id) {
    DIR *d = opendir(folder);
    int found = 0;
    for (struct dirent *e; d && (e = readdir(d));)
        found += atoi(e->d_name) == id;
    if (d)
        closedir(d);
    return found;
}
static _Atomic int tid, stop;
static void *work(void *arg) {
    tid = gettid();
    while (!stop)
        nap(1);
    return NULL;
}
int main(void) {
    NUM(listed("/proc", getpid()));
    pid_t pid = MUST(fork());
    if (!pid)
        for (;;)
            pause();
    NUM(listed("/proc", pid));
    kill(pid, SIGKILL), waitpid(pid, NULL, 0);
    NUM(listed("/proc", pid));
    pthread_t t;
    pthread_create(&t, NULL, work, NULL);
    while (!tid)
        sched_yield();
    NUM(listed("/proc/self/task", tid)), NUM(listed("/proc", tid));
    char path[64];
    sprintf(path, "/proc/%d/status", tid);
    NUM(access(path, R_OK));
    stop = 1;
    pthread_join(t, NULL);
    const char *names[] = {"cpuinfo", "meminfo", "mounts", "self", "stat", "sys", "uptime", "version", "filesystems", "loadavg", "net", "thread-self", "cmdline"};
    DIR *d = opendir("/proc");
    int seen[13] = {0};
    for (struct dirent *e; (e = readdir(d));)
        for (int i = 0; i < 13; i++)
            seen[i] += !strcmp(e->d_name, names[i]);
    for (int i = 0; i < 13; i++)
        say("%s %d", names[i], seen[i]);
    struct stat s;
    stat("/proc/self/task", &s);
    IS(S_ISDIR(s.st_mode));
    stat("/proc/self/stat", &s);
    say("%o %ld", s.st_mode, (long)s.st_size);
}
