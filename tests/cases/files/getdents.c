// getdents64: every entry once with its type, small buffers, rewinding, removal while reading.
#include "../case.h"
struct entry {
    uint64_t ino;
    int64_t off;
    uint16_t len;
    uint8_t type;
    char name[];
};
int main(void) {
    scratch();
    MUST(mkdir("d", 0755));
    char name[64];
    for (int i = 0; i < 300; i++) {
        sprintf(name, "d/entry-%03d", i);
        put(name, "");
    }
    MUST(mkdir("d/dir", 0755)), MUST(symlink("x", "d/link")), MUST(mkfifo("d/fifo", 0600));
    int fd = MUST(open("d", O_RDONLY | O_DIRECTORY));
    char buffer[1000] __attribute__((aligned(8)));
    int count = 0, types = 0, seen[300] = {0}, wrong = 0;
    for (long n; (n = MUST(syscall(SYS_getdents64, fd, buffer, sizeof buffer))) > 0;)
        for (long at = 0; at < n;) {
            struct entry *e = (void *)(buffer + at);
            count++;
            at += e->len;
            wrong += e->len % 8 != 0 || e->ino == 0;
            if (!strncmp(e->name, "entry-", 6))
                seen[atoi(e->name + 6)]++, wrong += e->type != DT_REG;
            else
                types += (!strcmp(e->name, "dir") && e->type == DT_DIR) + (!strcmp(e->name, "link") && e->type == DT_LNK) +
                         (!strcmp(e->name, "fifo") && e->type == DT_FIFO) + (e->name[0] == '.' && e->type == DT_DIR);
        }
    for (int i = 0; i < 300; i++)
        wrong += seen[i] != 1;
    NUM(count), NUM(types), NUM(wrong);
    NUM(syscall(SYS_getdents64, fd, buffer, 1000));
    NUM(lseek(fd, 0, SEEK_SET));
    NUM(syscall(SYS_getdents64, fd, buffer, 8));
    IS(syscall(SYS_getdents64, fd, buffer, 1000) > 0);
    NUM(syscall(SYS_getdents64, fd, (void *)8, 1000));
    NUM(syscall(SYS_getdents64, MUST(open("d/entry-000", O_RDONLY)), buffer, 1000));
    char c;
    NUM(read(fd, &c, 1));
    // Remove everything while reading.
    DIR *dir = opendir("d");
    int removed = 0;
    for (struct dirent *e; (e = readdir(dir));)
        if (!strncmp(e->d_name, "entry-", 6)) {
            snprintf(name, sizeof name, "d/%s", e->d_name);
            removed += unlink(name) == 0;
        }
    NUM(removed);
    closedir(dir);
    dir = opendir("d");
    int left = 0;
    while (readdir(dir))
        left++;
    NUM(left);
    unlink("d/link"), unlink("d/fifo"), rmdir("d/dir");
    MUST(rmdir("d"));
    NUM(syscall(SYS_getdents64, fd, buffer, 1000));
    lseek(fd, 0, SEEK_SET);
    NUM(syscall(SYS_getdents64, fd, buffer, 1000));
}
