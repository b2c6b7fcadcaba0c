// Threads and children of threads spin with every signal blocked while the first thread ends alone.
#include "hostile.h"
#include <pthread.h>
static void *work(void *arg) {
    if (!fork()) {
        setsid();
        for (;;)
            ;
    }
    for (;;)
        ;
}
int main(int argc, char **argv) {
    ignore_all();
    pthread_t thread;
    for (int i = 0; i < 8; i++)
        pthread_create(&thread, NULL, work, NULL);
    sleep(1);
    ready(argv);
}
