// Floating-point registers, rounding mode and flags belong to the thread across switches.
//= flags -lm
#include "../case.h"
#include <fenv.h>
static void *work(void *arg) {
    int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
    int mode = modes[(long)arg % 4];
    fesetround(mode);
    long bad = 0;
    volatile double x = 1, y = 3, first = x / y;
    for (int i = 0; i < 30000; i++) {
        volatile double z = x / y;
        bad += z != first || fegetround() != mode;
        if (i % 500 == 0)
            sched_yield();
    }
    return (void *)bad;
}
int main(void) {
    pthread_t t[8];
    for (long i = 0; i < 8; i++)
        pthread_create(&t[i], NULL, work, (void *)i);
    for (int i = 0; i < 8; i++) {
        void *bad;
        pthread_join(t[i], &bad);
        NUM((long)bad);
    }
}
