// execve with an empty argv gives the new program one empty argument (since Linux 5.18).
#include "../case.h"
int main(int argc, char **argv) {
    if (argc > 1 || (argc == 1 && argv[0][0])) {
        char *none[] = {NULL};
        execve("/proc/self/exe", none, none);
        return 9;
    }
    NUM(argc);
    IS(argv[0] && argv[0][0] == 0);
    IS(argv[1] == NULL);
}
