// telldir and seekdir return to the same entry.
#include "../case.h"
int main(void) {
    scratch();
    char name[16], first[3][300];
    for (int i = 0; i < 20; i++)
        sprintf(name, "f%d", i), put(name, "");
    DIR *dir = opendir(".");
    for (int i = 0; i < 10; i++)
        readdir(dir);
    long place = telldir(dir);
    for (int i = 0; i < 3; i++)
        strcpy(first[i], readdir(dir)->d_name);
    while (readdir(dir))
        ;
    seekdir(dir, place);
    int same = 0;
    for (int i = 0; i < 3; i++)
        same += !strcmp(first[i], readdir(dir)->d_name);
    NUM(same);
    rewinddir(dir);
    int n = 0;
    while (readdir(dir))
        n++;
    NUM(n);
}
