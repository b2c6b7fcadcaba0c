// The part of the last page behind the file's data is zero, and so is the rest of the bss; both can be written.
#include "../case.h"
static char small[100];
static char large[3 << 20];
static int initialised = 42;
int main(void) {
    int bad = 0;
    for (size_t i = 0; i < sizeof small; i++)
        bad += small[i] != 0;
    for (size_t i = 0; i < sizeof large; i++)
        bad += large[i] != 0;
    NUM(bad);
    NUM(initialised);
    memset(large, 1, sizeof large);
    memset(small, 2, sizeof small);
    NUM(large[sizeof large - 1] + small[99]);
    extern char _end, _edata;
    IS(&_end > &_edata);
}
