// /proc/self/maps shows mappings with bounds, rights, offsets and names; equal neighbours are one.
#include "../case.h"
static int find(void *start, size_t size, char *rights, unsigned long *offset, char *name) {
    FILE *f = fopen("/proc/self/maps", "r");
    char line[5000];
    int found = 0;
    while (f && fgets(line, sizeof line, f)) {
        unsigned long lo, hi, off, inode;
        char r[8], dev[16], n[4096] = "";
        sscanf(line, "%lx-%lx %7s %lx %15s %lu %4095[^\n]", &lo, &hi, r, &off, dev, &inode, n);
        if (lo == (unsigned long)start && hi == lo + size) {
            found = 1;
            strcpy(rights, r), strcpy(name, n), *offset = off;
        }
    }
    if (f)
        fclose(f);
    return found;
}
int main(void) {
    const char *where = scratch();
    char rights[8], name[4096];
    unsigned long offset;
    char *area = MUST(mmap(NULL, 64 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    char *a = area + 8 * 4096;
    MUST(mmap(a, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
    MUST(mmap(a + 4096, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
    if (find(a, 8192, rights, &offset, name))
        say("%s [%s]", rights, name);
    MUST(mprotect(a + 4096, 4096, PROT_READ));
    if (find(a, 4096, rights, &offset, name) && find(a + 4096, 4096, rights, &offset, name))
        say("split: %s", rights);
    MUST(mprotect(a + 4096, 4096, PROT_READ | PROT_WRITE));
    say("%s", find(a, 8192, rights, &offset, name) ? "merged" : "not merged");
    int fd = MUST(open("file", O_RDWR | O_CREAT, 0644));
    MUST(ftruncate(fd, 5 * 4096));
    MUST(mmap(area + 20 * 4096, 2 * 4096, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED, fd, 3 * 4096));
    if (find(area + 20 * 4096, 2 * 4096, rights, &offset, name))
        say("%s %lx %s", rights, offset, !strncmp(name, where, strlen(where)) ? name + strlen(where) : "?");
    unlink("file");
    if (find(area + 20 * 4096, 2 * 4096, rights, &offset, name))
        say("%s", strstr(name, "file (deleted)") ? "deleted" : name);
    char *maps = get("/proc/self/maps");
    IS(strstr(maps, "[stack]") != NULL);
    IS(strstr(maps, "libc.so.6") != NULL);
    long bad = 0;
    unsigned long last = 0;
    for (char *line = maps; *line; line = strchr(line, '\n') + 1) {
        unsigned long lo, hi;
        sscanf(line, "%lx-%lx", &lo, &hi);
        bad += lo < last || hi <= lo;
        last = hi;
    }
    NUM(bad);
}
