// set_robust_list and get_robust_list themselves.
#include "../case.h"
#include <linux/futex.h>
int main(void) {
    struct robust_list_head *head = NULL;
    size_t size = 0;
    NUM(syscall(SYS_get_robust_list, 0, &head, &size));
    IS(size == sizeof *head);
    IS(head != NULL);
    NUM(syscall(SYS_set_robust_list, head, 8));
    struct robust_list_head own = {.list = {&own.list}, .futex_offset = 0};
    NUM(syscall(SYS_set_robust_list, &own, sizeof own));
    struct robust_list_head *got;
    NUM(syscall(SYS_get_robust_list, gettid(), &got, &size));
    IS(got == &own);
    NUM(syscall(SYS_get_robust_list, 0x3fffffff, &got, &size));
    NUM(syscall(SYS_set_robust_list, head, sizeof own));
}
