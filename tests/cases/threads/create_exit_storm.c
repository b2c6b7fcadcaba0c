// Two thousand threads made and joined in turn by four makers; nothing runs out.
#include "../case.h"
static void *nothing(void *arg) { return arg; }
static void *maker(void *arg) {
    long bad = 0;
    for (long i = 0; i < 500; i++) {
        pthread_t t;
        void *r = NULL;
        bad += pthread_create(&t, NULL, nothing, (void *)i) != 0;
        pthread_join(t, &r);
        bad += r != (void *)i;
    }
    return (void *)bad;
}
int main(void) {
    pthread_t t[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, maker, NULL);
    for (int i = 0; i < 4; i++) {
        void *r;
        pthread_join(t[i], &r);
        NUM((long)r);
    }
}
