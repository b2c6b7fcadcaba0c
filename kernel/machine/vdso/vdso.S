// The vDSO: what the kernel lends to applications so that they need not call it (vdso(7)).
//
// It lies in the application's memory, one page for all processes. Clocks are computed as `clock.rs` does, from the boot
// block, which the application can read; its time-stamp is read again afterwards, so that a thread that was parked in
// between and restored with other clocks starts anew. What it cannot answer it asks the kernel, by the way that patched
// call sites take.

#define NS 1000000000

	.text

// In: RDI clock id. Out: R8 nanoseconds, carry clear; carry set: not a clock of this kind. Uses RAX, RCX, RDX, R9, R10.
	.type read_clock, @function
read_clock:
	.cfi_startproc
	cmp $11, %edi
	ja 2f
	mov $1, %eax
	mov %edi, %ecx
	shl %cl, %eax
	movabs $BOOT, %r10
	lea BOOT_MONOTONIC(%r10), %r9
	test $MONOTONIC_CLOCKS, %eax
	jnz 1f
	lea BOOT_REALTIME(%r10), %r9
	test $REALTIME_CLOCKS, %eax
	jz 2f
1:	mov BOOT_TSC(%r10), %rcx
	lfence
	rdtsc
	shl $32, %rdx
	or %rdx, %rax
	sub %rcx, %rax
	mulq BOOT_TSC_MULT(%r10)
	shrd $32, %rdx, %rax
	add (%r9), %rax
	cmp %rcx, BOOT_TSC(%r10)
	jne 1b
	mov %rax, %r8
	clc
	ret
2:	stc
	ret
	.cfi_endproc
	.size read_clock, . - read_clock

// (RDI clock id, RSI struct timespec *)
	.globl __vdso_clock_gettime
	.type __vdso_clock_gettime, @function
__vdso_clock_gettime:
	.cfi_startproc
	call read_clock
	jc 1f
	mov %r8, %rax
	xor %edx, %edx
	mov $NS, %ecx
	div %rcx
	mov %rax, (%rsi)
	mov %rdx, 8(%rsi)
	xor %eax, %eax
	ret
1:	mov $NR_clock_gettime, %eax
	lea 2f(%rip), %rcx
	jmp *enter(%rip)
2:	ret
	.cfi_endproc
	.size __vdso_clock_gettime, . - __vdso_clock_gettime

// (RDI struct timeval *, RSI struct timezone *)
	.globl __vdso_gettimeofday
	.type __vdso_gettimeofday, @function
__vdso_gettimeofday:
	.cfi_startproc
	mov %rdi, %r11
	test %r11, %r11
	jz 1f
	xor %edi, %edi
	call read_clock
	mov %r8, %rax
	xor %edx, %edx
	mov $NS, %ecx
	div %rcx
	mov %rax, (%r11)
	mov %edx, %eax
	xor %edx, %edx
	mov $1000, %ecx
	div %ecx
	mov %rax, 8(%r11)
1:	test %rsi, %rsi
	jz 2f
	movq $0, (%rsi)
2:	xor %eax, %eax
	ret
	.cfi_endproc
	.size __vdso_gettimeofday, . - __vdso_gettimeofday

// (RDI time_t *)
	.globl __vdso_time
	.type __vdso_time, @function
__vdso_time:
	.cfi_startproc
	mov %rdi, %r11
	xor %edi, %edi
	call read_clock
	mov %r8, %rax
	xor %edx, %edx
	mov $NS, %ecx
	div %rcx
	test %r11, %r11
	jz 1f
	mov %rax, (%r11)
1:	ret
	.cfi_endproc
	.size __vdso_time, . - __vdso_time

// (RDI unsigned *cpu, RSI unsigned *node)
	.globl __vdso_getcpu
	.type __vdso_getcpu, @function
__vdso_getcpu:
	.cfi_startproc
	test %rdi, %rdi
	jz 1f
	mov %gs:CPU_SLOT, %eax
	mov %eax, (%rdi)
1:	test %rsi, %rsi
	jz 2f
	movl $0, (%rsi)
2:	xor %eax, %eax
	ret
	.cfi_endproc
	.size __vdso_getcpu, . - __vdso_getcpu

	.weak clock_gettime
	.set clock_gettime, __vdso_clock_gettime
	.weak gettimeofday
	.set gettimeofday, __vdso_gettimeofday
	.weak time
	.set time, __vdso_time
	.weak getcpu
	.set getcpu, __vdso_getcpu

// Where the kernel is entered: the kernel puts the address in place of this number.
	.balign 8
enter:	.quad ENTER_PLACE
	.section .note.GNU-stack, "", @progbits
