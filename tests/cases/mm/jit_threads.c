// Threads write, run and rewrite their own code pages with system calls in them.
#include "../case.h"
static void *work(void *arg) {
    unsigned char *code = MUST(mmap(NULL, 16384, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    long bad = 0;
    for (int i = 0; i < 300; i++) {
        unsigned char *at = code + (i * 13) % 16000;
        unsigned char call[] = {0xb8, 186, 0, 0, 0, 0x0f, 0x05, 0x48, 0x3d, 0x01, 0xf0, 0xff, 0xff, 0xc3};
        memcpy(at, call, sizeof call);
        for (int j = 0; j < 3; j++)
            bad += ((int (*)(void))(void *)at)() != gettid();
    }
    return (void *)bad;
}
int main(void) {
    pthread_t t[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, work, NULL);
    for (int i = 0; i < 4; i++) {
        void *bad;
        pthread_join(t[i], &bad);
        NUM((long)bad);
    }
}
