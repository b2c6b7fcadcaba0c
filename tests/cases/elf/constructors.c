// Constructors, IFUNCs, destructors and atexit run in their order.
#include "../case.h"
static char order[16];
static int n;
__attribute__((constructor(101))) static void a(void) { order[n++] = 'a'; }
__attribute__((constructor(102))) static void b(void) { order[n++] = 'b'; }
__attribute__((constructor)) static void c(void) { order[n++] = 'c'; }
__attribute__((destructor)) static void z(void) { say("destructor"); }
static int one(void) { return 1; }
static int (*resolve(void))(void) { return one; }
int chosen(void) __attribute__((ifunc("resolve")));
static void last(void) { say("atexit"); }
int main(void) {
    atexit(last);
    say("%s %d", order, chosen());
    return 2;
}
