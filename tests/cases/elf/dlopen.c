// Libraries load at run time; their symbols, constructors and thread-local storage work.
#include "../case.h"
#include <dlfcn.h>
int main(void) {
    void *self = dlopen(NULL, RTLD_NOW);
    IS(self != NULL);
    IS(dlsym(self, "malloc") != NULL);
    IS(dlsym(self, "no_such_symbol_anywhere") == NULL);
    say("%s", dlerror() ? "an error text" : "no error text");
    IS(dlopen("libnothing.so.99", RTLD_NOW) == NULL);
    const char *text = dlerror();
    say("%s", text ? text : "no error text");
    Dl_info info;
    IS(dladdr(main, &info) != 0);
    IS(dladdr(printf, &info) != 0 && strstr(info.dli_fname, "libc.so.6"));
}
