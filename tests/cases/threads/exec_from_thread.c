// execve in a second thread: the others end, and the new program has the process id as its thread id.
#include "../case.h"
static void *idle(void *arg) {
    pause();
    return NULL;
}
static void *work(void *arg) {
    char text[32];
    sprintf(text, "%d", getpid());
    execl("/proc/self/exe", "x", text, NULL);
    say("%s", errname(errno));
    return NULL;
}
int main(int argc, char **argv) {
    if (argc > 1) {
        IS(getpid() == atoi(argv[1]));
        IS(gettid() == getpid());
        int tasks = 0;
        DIR *dir = opendir("/proc/self/task");
        for (struct dirent *e; dir && (e = readdir(dir));)
            tasks += e->d_name[0] != '.';
        NUM(tasks);
        return 6;
    }
    pthread_t t;
    pthread_create(&t, NULL, idle, NULL);
    pthread_create(&t, NULL, work, NULL);
    pthread_join(t, NULL);
    return 1;
}
