// Two hundred threads at once, each with a stack of its own, started and ended twice.
#include "../case.h"
static pthread_barrier_t barrier;
static void *work(void *arg) {
    char own[8192];
    memset(own, (long)arg, sizeof own);
    pthread_barrier_wait(&barrier);
    long sum = 0;
    for (int i = 0; i < 8192; i++)
        sum += (unsigned char)own[i] == ((long)arg & 255);
    return (void *)sum;
}
int main(void) {
    static pthread_t t[200];
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 65536);
    for (int round = 0; round < 2; round++) {
        pthread_barrier_init(&barrier, NULL, 200);
        int failed = 0;
        for (long i = 0; i < 200; i++)
            failed += pthread_create(&t[i], &attr, work, (void *)i) != 0;
        long good = 0;
        for (int i = 0; i < 200 && !failed; i++) {
            void *sum;
            pthread_join(t[i], &sum);
            good += (long)sum == 8192;
        }
        NUM(failed);
        NUM(good);
    }
    int tasks = 0;
    DIR *dir = opendir("/proc/self/task");
    for (struct dirent *e; dir && (e = readdir(dir));)
        tasks += e->d_name[0] != '.';
    NUM(tasks);
}
