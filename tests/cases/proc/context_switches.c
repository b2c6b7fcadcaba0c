// A task that sleeps is seen to do so in its count of context switches, and in that of the machine.
#include "../case.h"
static long number(const char *path, const char *key) {
    char *found = strstr(get(path), key);
    return found ? atol(found + strlen(key)) : -1;
}
int main(void) {
    long own = number("/proc/self/status", "\nvoluntary_ctxt_switches:\t"), all = number("/proc/stat", "\nctxt ");
    for (int i = 0; i < 10; i++)
        nap(1);
    IS(number("/proc/self/status", "\nvoluntary_ctxt_switches:\t") >= own + 10);
    IS(number("/proc/stat", "\nctxt ") >= all + 10);
    IS(number("/proc/self/status", "\nnonvoluntary_ctxt_switches:\t") >= 0);
}
