// pthread_atfork handlers run in order; threads have names that /proc shows.
#include "../case.h"
static void a(void) { say("prepare"); }
static int in_parent, in_child;
static void b(void) { in_parent = 1; }
static void c(void) { in_child = 1; }
static void *work(void *arg) {
    char path[64];
    sprintf(path, "/proc/self/task/%d/comm", gettid());
    ERR(pthread_setname_np(pthread_self(), "worker"));
    say("%s", get(path));
    ERR(pthread_setname_np(pthread_self(), "far too long a name"));
    return NULL;
}
int main(void) {
    pthread_atfork(a, b, c);
    pid_t pid = fork();
    if (!pid) {
        _exit(in_parent * 2 + in_child);
    }
    reap("child", pid);
    NUM(in_parent * 2 + in_child);
    pthread_t t;
    pthread_create(&t, NULL, work, NULL);
    pthread_join(t, NULL);
    char name[16];
    ERR(pthread_getname_np(pthread_self(), name, sizeof name));
    IS(strcmp(name, "worker") != 0);
}
