// A static position-independent program relocates itself and runs.
//= flags -static-pie
#include "../case.h"
static int value = 3;
static int *pointer = &value;
static const char *names[] = {"alpha", "beta"};
static int (*function)(const char *) = puts;
int main(void) {
    NUM(*pointer);
    say("%s %s", names[0], names[1]);
    IS(function == puts);
    IS((uintptr_t)&value > 0x10000);
}
