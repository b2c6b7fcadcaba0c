// mmap(2) of files.
#include "posix.h"

static char *map(int fd, size_t len, int protection, int flags) { return mmap(NULL, len, protection, flags, fd, 0); }

#define BOTH (PROT_READ | PROT_WRITE)

CASE(shared_writes_reach_the_file) {
    int fd = MUST(open("big", O_RDWR));
    char *m = MUST(map(fd, 20000, BOTH, MAP_SHARED)), text[4] = "";
    m[0] = 'X', m[4096] = 'Y', m[19999] = 'Z';
    NUM(pread(fd, text, 1, 0)), NUM(pread(fd, text + 1, 1, 4096)), NUM(pread(fd, text + 2, 1, 19999));
    say("%s", text);
    NUM(munmap(m, 20000)), NUM(pread(MUST(open("big", O_RDONLY)), text, 1, 0)), say("%c", text[0]);
    SIZE("big");
}

CASE(file_writes_show_in_shared_maps) {
    int fd = MUST(open("big", O_RDWR));
    char *m = MUST(map(fd, 20000, PROT_READ, MAP_SHARED));
    say("%c%c", m[0], m[10000]);
    NUM(pwrite(fd, "Q", 1, 0)), NUM(pwrite(fd, "R", 1, 10000));
    say("%c%c", m[0], m[10000]);
    CHILD NUM(pwrite(fd, "S", 1, 10001));
    say("%c", m[10001]);
}

CASE(private_writes_stay) {
    int fd = MUST(open("big", O_RDWR));
    char *m = MUST(map(fd, 20000, BOTH, MAP_PRIVATE)), c;
    m[0] = 'X', m[8192] = 'Y';
    NUM(pread(fd, &c, 1, 0)), say("%c", c);
    NUM(pwrite(fd, "Z", 1, 0)), say("%c %c", m[0], m[8192]);
    CHILD say("%c", m[0]), m[0] = 'W';
    say("%c", m[0]);
}

CASE(two_maps_of_one_file) {
    char *a = MUST(map(MUST(open("hard1", O_RDWR)), 6, BOTH, MAP_SHARED));
    char *b = MUST(map(MUST(open("hard2", O_RDWR)), 6, BOTH, MAP_SHARED));
    char *c = MUST(map(MUST(open("hard2", O_RDONLY)), 6, PROT_READ, MAP_SHARED));
    a[0] = 'S', b[1] = 'H';
    say("%.6s %.6s %.6s", a, b, c);
    CHILD a[2] = 'A';
    say("%.6s", c);
}

CASE(end_of_the_file) {
    int fd = MUST(open("file", O_RDWR));
    char *m = MUST(map(fd, 8192, BOTH, MAP_SHARED));
    say("%d %d", m[11], m[4095]);
    m[100] = 'x';
    SIZE("file");
    CHILD m[4096] = 1;
    NUM(ftruncate(fd, 200)), NUM(ftruncate(fd, 5000)), m[4096] = 'y', SIZE("file");
    char c;
    NUM(pread(fd, &c, 1, 4096)), say("%c", c);
}

CASE(cut_while_mapped) {
    int fd = MUST(open("big", O_RDWR));
    char *m = MUST(map(fd, 20000, BOTH, MAP_SHARED));
    say("%c", m[15000]);
    NUM(ftruncate(fd, 4096));
    CHILD say("%c", m[15000]);
    say("%c", m[100]);
    NUM(ftruncate(fd, 20000)), say("%d", m[15000]);
}

CASE(rights) {
    int r = MUST(open("file", O_RDONLY)), w = MUST(open("file", O_WRONLY)), both = MUST(open("file", O_RDWR));
    TRY(map(r, 10, BOTH, MAP_SHARED)), TRY(map(r, 10, BOTH, MAP_PRIVATE)), TRY(map(w, 10, PROT_READ, MAP_SHARED));
    TRY(map(w, 10, PROT_WRITE, MAP_SHARED)), TRY(map(w, 10, PROT_READ, MAP_PRIVATE)), TRY(map(both, 10, PROT_WRITE, MAP_SHARED));
    char *m = MUST(map(r, 10, PROT_READ, MAP_SHARED));
    NUM(mprotect(m, 10, BOTH));
    m = MUST(map(r, 10, PROT_READ, MAP_PRIVATE)), NUM(mprotect(m, 10, BOTH));
}

CASE(refuses) {
    int fd = MUST(open("file", O_RDWR));
    TRY(map(fd, 0, PROT_READ, MAP_SHARED)), TRY(map(fd, 10, PROT_READ, 0)), TRY(map(999, 10, PROT_READ, MAP_SHARED));
    TRY(map(MUST(open("dir", O_RDONLY)), 10, PROT_READ, MAP_SHARED)), TRY(map(MUST(open("file", O_PATH)), 10, PROT_READ, MAP_SHARED));
    TRY(mmap(NULL, 10, PROT_READ, MAP_SHARED, fd, 100)), TRY(map(MUST(open("fifo", O_RDWR)), 10, PROT_READ, MAP_SHARED));
    TRY(mmap(NULL, 10, PROT_READ, MAP_SHARED_VALIDATE | 0x200000, fd, 0));
}

CASE(outlives_descriptor_and_name) {
    int fd = MUST(open("big", O_RDWR));
    char *m = MUST(map(fd, 20000, BOTH, MAP_SHARED));
    MUST(close(fd)), MUST(unlink("big")), put("big", "new");
    say("%c", m[19999]), m[0] = 'X', say("%c", m[0]), TEXT("big");
    CHILD m[1] = 'Y';
    say("%c", m[1]);
}

CASE(part_of_a_file) {
    int fd = MUST(open("big", O_RDWR));
    char *m = MUST(mmap(NULL, 4096, BOTH, MAP_SHARED, fd, 8192)), c;
    say("%c", m[0]), m[0] = 'P', NUM(pread(fd, &c, 1, 8192)), say("%c", c);
    NUM(munmap(m, 4096)), m = MUST(mmap(NULL, 100, BOTH, MAP_PRIVATE, fd, 16384)), say("%c %d", m[0], m[3999]);
}

CASE(holes) {
    int fd = MUST(open("new", O_RDWR | O_CREAT, 0600));
    MUST(ftruncate(fd, 1 << 20));
    char *m = MUST(map(fd, 1 << 20, BOTH, MAP_SHARED)), c;
    say("%d %d", m[0], m[500000]), m[500000] = 'h', NUM(pread(fd, &c, 1, 500000)), say("%c", c);
    NUM(pwrite(fd, "i", 1, 900000)), say("%c", m[900000]);
    NUM(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 499712, 4096)), say("%d", m[500000]);
}

CASE(msync_calls) {
    int fd = MUST(open("big", O_RDWR));
    char *m = MUST(map(fd, 20000, BOTH, MAP_SHARED));
    m[0] = 'x';
    NUM(msync(m, 20000, MS_SYNC)), NUM(msync(m, 20000, MS_ASYNC)), NUM(msync(m + 1, 100, MS_SYNC));
    NUM(msync(m, 20000, MS_SYNC | MS_ASYNC)), NUM(msync(m, 20000, 0x40)), NUM(munmap(m, 20000)), NUM(msync(m, 20000, MS_SYNC));
}

CASE(copy_of_itself) {
    int fd = MUST(open("big", O_RDWR));
    char *m = MUST(map(fd, 20000, BOTH, MAP_SHARED));
    NUM(pwrite(fd, m, 5000, 10000)), say("%c%c", m[10000], m[14999]);
    NUM(pread(fd, m, 5000, 15000)), say("%c%c", m[0], m[4999]);
}

CASE(remapped) {
    int fd = MUST(open("big", O_RDWR));
    char *m = MUST(map(fd, 4096, BOTH, MAP_SHARED));
    m = MUST(mremap(m, 4096, 20000, MREMAP_MAYMOVE));
    say("%c", m[19999]), m[12000] = 'X';
    char c;
    NUM(pread(fd, &c, 1, 12000)), say("%c", c);
}
