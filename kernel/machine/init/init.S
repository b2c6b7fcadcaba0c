// Process 1 of `husk run --init`: starts PROGRAM, passes signals on to it, waits for every process that is left to it, and
// ends as PROGRAM ended. Its arguments: its own name, PROGRAM's path, PROGRAM's arguments, their name first.
//
// No library, no data but what lies on the stack. r12: arguments, r13: environment, r14: the child, rbp: the frame.

	.intel_syntax noprefix

#define NR_rt_sigaction 13
#define NR_rt_sigprocmask 14
#define NR_ioctl 16
#define NR_getpid 39
#define NR_fork 57
#define NR_execve 59
#define NR_exit_group 231
#define NR_wait4 61
#define NR_kill 62
#define NR_setpgid 109
#define NR_rt_sigtimedwait 128

#define SIG_SETMASK 2
#define SIGCHLD 17
#define SIGTTIN 21
#define SIGTTOU 22
#define WNOHANG 1
#define TIOCSPGRP 0x5410
#define ENOENT 2

// All signals but those that say that this program itself is wrong: SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV,
// SIGSYS. SIGTTIN and SIGTTOU are ignored.
#define BIT(n) (1 << ((n) - 1))
#define OWN (BIT(4) | BIT(5) | BIT(6) | BIT(7) | BIT(8) | BIT(11) | BIT(31) | BIT(SIGTTIN) | BIT(SIGTTOU))

// The frame.
#define OLD_MASK [rbp - 8]
#define MASK [rbp - 16]
#define STATUS [rbp - 24]
#define ACTION [rbp - 64]
#define FRAME 64

	.text
	.globl _start
_start:
	lea	r12, [rsp + 8]
	mov	rax, [rsp]
	lea	r13, [rsp + rax * 8 + 16]
	mov	rbp, rsp
	and	rbp, -16
	lea	rsp, [rbp - FRAME]

	mov	rax, ~OWN
	mov	MASK, rax
	mov	edi, SIG_SETMASK
	lea	rsi, MASK
	lea	rdx, OLD_MASK
	mov	r10d, 8
	mov	eax, NR_rt_sigprocmask
	syscall
	mov	ebx, 1
	call	terminal_stops

	mov	eax, NR_fork
	syscall
	mov	r14, rax
	test	rax, rax
	jz	child
	js	failed

next:
	lea	rdi, MASK
	xor	esi, esi
	xor	edx, edx
	mov	r10d, 8
	mov	eax, NR_rt_sigtimedwait
	syscall
	test	eax, eax
	js	next
	cmp	eax, SIGCHLD
	je	reap
	mov	edi, r14d
	mov	esi, eax
	mov	eax, NR_kill
	syscall
	jmp	next

reap:
	mov	edi, -1
	lea	rsi, STATUS
	mov	edx, WNOHANG
	xor	r10d, r10d
	mov	eax, NR_wait4
	syscall
	test	eax, eax
	jle	next
	cmp	eax, r14d
	jne	reap
	mov	eax, STATUS
	mov	edi, eax
	shr	edi, 8
	and	edi, 255
	and	eax, 127
	jz	end
	lea	edi, [rax + 128]
end:
	mov	eax, NR_exit_group
	syscall
	ud2

failed:
	mov	edi, 125
	jmp	end

// The program in a process group of its own, in the terminal's foreground if there is one.
child:
	xor	edi, edi
	xor	esi, esi
	mov	eax, NR_setpgid
	syscall
	mov	eax, NR_getpid
	syscall
	mov	STATUS, eax
	xor	edi, edi
	mov	esi, TIOCSPGRP
	lea	rdx, STATUS
	mov	eax, NR_ioctl
	syscall
	xor	ebx, ebx
	call	terminal_stops
	mov	edi, SIG_SETMASK
	lea	rsi, OLD_MASK
	xor	edx, edx
	mov	r10d, 8
	mov	eax, NR_rt_sigprocmask
	syscall
	mov	rdi, [r12 + 8]
	lea	rsi, [r12 + 16]
	mov	rdx, r13
	mov	eax, NR_execve
	syscall
	mov	edi, 126
	cmp	eax, -ENOENT
	jne	end
	mov	edi, 127
	jmp	end

// Ignores SIGTTIN and SIGTTOU (rbx 1), or lets them do what they do (0).
terminal_stops:
	xor	eax, eax
	lea	rsi, ACTION
	mov	[rsi], rbx
	mov	[rsi + 8], rax
	mov	[rsi + 16], rax
	mov	[rsi + 24], rax
	xor	edx, edx
	mov	r10d, 8
	mov	edi, SIGTTIN
	mov	eax, NR_rt_sigaction
	syscall
	mov	edi, SIGTTOU
	mov	eax, NR_rt_sigaction
	syscall
	ret

	.section .note.GNU-stack,"",@progbits
