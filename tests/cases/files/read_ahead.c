// Reading a file from front to back while it changes ahead of the reader: by another descriptor, another process, a mapping,
// another name, and its size.
#include "../case.h"
#include <sys/file.h>
#define SIZE (2 << 20)
static char bytes[SIZE], want[SIZE];
static int bad;
// Reads `count` bytes from `at` on in pieces of `piece` and compares them.
static void compare(int fd, long at, long count, long piece, const char *what) {
    for (long end = at + count; at < end; at += piece) {
        long n = read(fd, bytes, piece), left = SIZE - at < piece ? SIZE - at : piece;
        if ((n != left || memcmp(bytes, want + at, n)) && bad++ < 5)
            say("%s: at %ld: %ld", what, at, n);
    }
}
int main(void) {
    scratch();
    for (long i = 0; i < SIZE; i++)
        want[i] = i / 1000 + i;
    int out = MUST(open("file", O_RDWR | O_CREAT, 0644));
    MUST(write(out, want, SIZE));
    MUST(link("file", "other"));
    int alias = MUST(open("other", O_RDWR));
    char *map = MUST(mmap(0, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, out, 0));
    static const long pieces[] = {4096, 1000, 65536, 131072, 200000};
    for (int p = 0; p < 5; p++) {
        long piece = pieces[p];
        int in = MUST(open("file", O_RDONLY));
        for (long at = 0, turn = 0; at + 3 * piece < SIZE; at += 3 * piece, turn++) {
            compare(in, at, 3 * piece, piece, "front to back");
            // The next bytes, and some further on.
            for (int far = 0; far < 2; far++) {
                long place = at + 3 * piece + far * 100000;
                if (place + 100 > SIZE)
                    continue;
                memset(want + place, turn * 5 + p, 100);
                switch (turn % 4) {
                case 0: MUST(pwrite(out, want + place, 100, place)); break;
                case 1: MUST(pwrite(alias, want + place, 100, place)); break;
                case 2: memcpy(map + place, want + place, 100); break;
                case 3:
                    if (turn > 40)
                        break;
                    pid_t child = MUST(fork());
                    if (!child) {
                        pwrite(out, want + place, 100, place);
                        _exit(0);
                    }
                    MUST(waitpid(child, 0, 0));
                }
                if (turn % 4 == 3 && turn > 40)
                    MUST(pwrite(out, want + place, 100, place));
            }
        }
        close(in);
    }
    say("bad: %d", bad);
    // Cut off and grown again while it is read; then its end moves.
    int in = MUST(open("file", O_RDONLY));
    NUM(read(in, bytes, 4096)), NUM(read(in, bytes, 4096)), NUM(read(in, bytes, 4096));
    MUST(ftruncate(out, 20000));
    NUM(read(in, bytes, 10000)), NUM(read(in, bytes, 10000));
    MUST(ftruncate(out, 300000));
    NUM(read(in, bytes, 10000)), NUM(bytes[0]), NUM(bytes[9999]);
    NUM(read(in, bytes, 300000)), NUM(read(in, bytes, 10));
    MUST(pwrite(out, "end", 3, 300000));
    NUM(read(in, bytes, 10)), NUM(bytes[0]), NUM(read(in, bytes, 10));
    // Cut off by opening it.
    MUST(lseek(in, 0, SEEK_SET));
    NUM(read(in, bytes, 5000)), NUM(read(in, bytes, 5000)), NUM(read(in, bytes, 5000));
    close(MUST(open("other", O_WRONLY | O_TRUNC)));
    NUM(read(in, bytes, 5000));
}
