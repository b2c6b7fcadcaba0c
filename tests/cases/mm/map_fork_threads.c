// Threads map and unmap while another forks: every child finds its memory whole.
#include "../case.h"
static _Atomic int stop;
static void *work(void *arg) {
    long bad = 0;
    while (!stop) {
        char *a = mmap(NULL, 16 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        for (int i = 0; i < 16; i++)
            a[i * 4096] = i;
        mprotect(a + 4096, 4096, PROT_READ);
        for (int i = 0; i < 16; i++)
            bad += a[i * 4096] != i;
        munmap(a, 16 * 4096);
    }
    return (void *)bad;
}
int main(void) {
    pthread_t t[2];
    int *data = malloc(100 * 4096);
    for (int i = 0; i < 100 * 1024; i++)
        data[i] = i;
    for (int i = 0; i < 2; i++)
        pthread_create(&t[i], NULL, work, NULL);
    int failures = 0;
    for (int i = 0; i < 20; i++) {
        pid_t pid = fork();
        if (!pid) {
            int bad = 0;
            for (int j = 0; j < 100 * 1024; j++)
                bad += data[j] != j + (j < i ? 1 : 0);
            data[50] = -1;
            _exit(bad != 0);
        }
        int status;
        waitpid(pid, &status, 0);
        failures += status != 0;
        data[i]++;
    }
    NUM(failures);
    stop = 1;
    for (int i = 0; i < 2; i++) {
        void *bad;
        pthread_join(t[i], &bad);
        NUM((long)bad);
    }
}
