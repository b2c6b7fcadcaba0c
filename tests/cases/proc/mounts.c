// /proc/mounts and mountinfo: the mounts that programs look for, in their form.
#include "../case.h"
#include <mntent.h>
#include <sys/mount.h>
int main(void) {
    FILE *f = setmntent("/proc/mounts", "r");
    int root = 0, proc = 0, dev = 0, bad = 0;
    for (struct mntent *e; f && (e = getmntent(f));) {
        root += !strcmp(e->mnt_dir, "/"), proc += !strcmp(e->mnt_dir, "/proc") && !strcmp(e->mnt_type, "proc");
        dev += !strncmp(e->mnt_dir, "/dev", 4);
        bad += e->mnt_dir[0] != '/' || !e->mnt_opts[0];
    }
    IS(root >= 1 && dev >= 1);
    NUM(proc), NUM(bad);
    int lines = 0;
    char *text = get("/proc/self/mountinfo");
    for (char *line = text; *line; line = strchr(line, '\n') + 1) {
        int id, parent, major, minor;
        char from[200], to[200];
        bad += sscanf(line, "%d %d %d:%d %199s %199s", &id, &parent, &major, &minor, from, to) != 6 || !strstr(line, " - ");
        lines++;
    }
    IS(lines >= 2);
    NUM(bad);
    IS(strstr(get("/proc/filesystems"), "nodev\ttmpfs") != NULL && strstr(get("/proc/filesystems"), "nodev\tproc") != NULL);
    IS(strncmp(get("/proc/version"), "Linux version ", 14) == 0);
    NUM(umount("/nothing")), NUM(mount("none", "/nothing", "tmpfs", 0, NULL));
}
