// fork in a second thread: the child has that one thread, as its main one, with its thread-local values.
#include "../case.h"
static __thread int local;
static void *idle(void *arg) {
    pause();
    return NULL;
}
static void *work(void *arg) {
    local = 77;
    pid_t pid = fork();
    if (!pid) {
        IS(getpid() == gettid());
        NUM(local);
        int tasks = 0;
        DIR *dir = opendir("/proc/self/task");
        for (struct dirent *e; dir && (e = readdir(dir));)
            tasks += e->d_name[0] != '.';
        NUM(tasks);
        pthread_t t;
        pthread_create(&t, NULL, (void *(*)(void *))say, "a thread of the child");
        pthread_join(t, NULL);
        exit(8);
    }
    reap("child", pid);
    return NULL;
}
int main(void) {
    pthread_t t;
    pthread_create(&t, NULL, idle, NULL);
    pthread_create(&t, NULL, work, NULL);
    pthread_join(t, NULL);
}
