// A descriptor closed by another thread stays usable for the call that is under way on it.
#include "../case.h"
static int p[2];
static void *reader(void *arg) {
    char c = 0;
    long n = read(p[0], &c, 1);
    return (void *)(n * 1000 + c);
}
int main(void) {
    MUST(pipe(p));
    pthread_t t;
    pthread_create(&t, NULL, reader, NULL);
    nap(30);
    NUM(close(p[0]));
    NUM(open("/dev/null", O_RDONLY) == p[0]);
    NUM(write(p[1], "A", 1));
    void *r;
    pthread_join(t, &r);
    NUM((long)r);
}
