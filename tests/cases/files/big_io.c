// Large reads and writes through one call arrive whole; a file of 64 MiB reads back as written.
#include "../case.h"
int main(void) {
    scratch();
    size_t size = 64 << 20;
    uint32_t *data = MUST(mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    for (size_t i = 0; i < size / 4; i++)
        data[i] = i * 2654435761u;
    int fd = MUST(open("f", O_RDWR | O_CREAT, 0644));
    NUM(write(fd, data, size));
    memset(data, 0, size);
    NUM(pread(fd, data, size, 0));
    long bad = 0;
    for (size_t i = 0; i < size / 4; i++)
        bad += data[i] != (uint32_t)(i * 2654435761u);
    NUM(bad);
    NUM(pread(fd, data, size, 12345));
    NUM(memcmp((char *)data, (uint32_t[]){0}, 0));
    uint32_t want = 0;
    memcpy(&want, (char *)data + 3, 4);
    IS(want == (uint32_t)((12348 / 4) * 2654435761u));
    NUM(fsync(fd)), NUM(fdatasync(fd)), NUM(syncfs(fd)), NUM(sync_file_range(fd, 0, 4096, SYNC_FILE_RANGE_WRITE));
    int p[2];
    MUST(pipe(p));
    NUM(fsync(p[0]));
    NUM(fsync(900));
}
