// Says that it runs, then sleeps for ever.
#include <unistd.h>

int main(void)
{
	if (write(1, "idle\n", 5) != 5)
		return 1;
	for (;;)
		pause();
}
