/* Preloaded into Wine's Unix processes by the tests. Three things, see README.md:
 *
 * - Wine's signal handlers are C code that finds its thread through FS. A guest has loaded FS with
 *   a value of its own, so it is exchanged around each handler. (Windows' kernel needs no such
 *   thing: there FS means nothing in a 64-bit process.)
 * - System calls that a guest makes with a raw `syscall` instruction would reach the Linux kernel
 *   below Wine and seem to work. Syscall user dispatch turns them into a report and an end.
 * - Wine's server kills a process that needs more than half a second from its end in Windows to its
 *   end in Unix, as it may on a busy machine. Then the exit status is in a file.
 *
 * Nothing here may use thread-local variables or the stack protector before FS is right.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#define PR_SYS_DISPATCH_ON 1
#endif

/* Guests live below this address; Wine's own code and its libraries above. */
#define GUEST_END 0x700000000000ul
#define USER_END 0x7ffffffff000ul

/* Status that the tests take for a raw system call. */
#define RAW_SYSCALL_STATUS 86

typedef void handler_t(int, siginfo_t *, void *);

static handler_t *handlers[65];
/* Where in the TEB Wine keeps the FS base of its thread: 0x330 in Wine 8, 0x320 in Wine 10. */
static unsigned long fs_slot = 0x330;

static inline unsigned long fs_base(void)
{
    unsigned long value;
    __asm__ volatile("rdfsbase %0" : "=r"(value));
    return value;
}

static inline void set_fs_base(unsigned long value)
{
    __asm__ volatile("wrfsbase %0" : : "r"(value));
}

/* The FS base of Wine's side of this thread, or 0 if it is no thread of Windows. */
static inline unsigned long wine_fs(void)
{
    unsigned long teb, value;
    __asm__ volatile("rdgsbase %0" : "=r"(teb));
    if (!teb)
        return 0;
    __asm__ volatile("mov %%gs:(%1), %0" : "=r"(value) : "r"(fs_slot));
    return value;
}

static void handle(int signal, siginfo_t *info, void *context)
{
    ucontext_t *at = context;
    unsigned long guest = fs_base();
    unsigned long host = wine_fs();
    greg_t rip = at->uc_mcontext.gregs[REG_RIP];
    int swapped = host && guest != host;

    if (swapped)
        set_fs_base(host);
    handlers[signal](signal, info, context);
    /* Wine continues a fault at its own dispatcher, which calls into the Unix side again. A
     * suspended thread continues in the guest, wherever its context was set to. */
    if (swapped && (signal == SIGUSR1 || rip == at->uc_mcontext.gregs[REG_RIP]))
        set_fs_base(guest);
}

static char *put(char *to, const char *text)
{
    while (*text)
        *to++ = *text++;
    return to;
}

static char *put_hex(char *to, unsigned long value)
{
    to = put(to, "0x");
    for (int shift = 60; shift >= 0; shift -= 4)
        if (value >> shift || !shift)
            *to++ = "0123456789abcdef"[value >> shift & 15];
    return to;
}

static void raw_syscall(int signal, siginfo_t *info, void *context)
{
    ucontext_t *at = context;
    unsigned long host = wine_fs();
    char text[128], *end = text;

    (void)signal;
    (void)info;
    if (host)
        set_fs_base(host);
    end = put(end, "wine test: raw system call ");
    end = put_hex(end, at->uc_mcontext.gregs[REG_RAX]);
    end = put(end, " at ");
    end = put_hex(end, at->uc_mcontext.gregs[REG_RIP]);
    end = put(end, "\n");
    if (write(2, text, end - text) < 0)
        _exit(RAW_SYSCALL_STATUS);
    _exit(RAW_SYSCALL_STATUS);
}

typedef int sigaction_t(int, const struct sigaction *, struct sigaction *);

static sigaction_t *next_sigaction(void)
{
    static sigaction_t *next;
    if (!next)
        next = (sigaction_t *)dlsym(RTLD_NEXT, "sigaction");
    return next;
}

int sigaction(int signal, const struct sigaction *new, struct sigaction *old)
{
    handler_t *previous = signal > 0 && signal < 65 ? handlers[signal] : NULL;
    struct sigaction wrapped;
    int result;

    if (signal == SIGSYS && new)
        return 0;
    if (new && signal > 0 && signal < 65 && new->sa_flags & SA_SIGINFO) {
        handlers[signal] = new->sa_sigaction;
        wrapped = *new;
        wrapped.sa_sigaction = handle;
        new = &wrapped;
    }
    result = next_sigaction()(signal, new, old);
    if (!result && old && old->sa_flags & SA_SIGINFO && old->sa_sigaction == handle)
        old->sa_sigaction = previous;
    return result;
}

static void detect_raw_syscalls(void)
{
    /* Hosts before Linux 5.11 have no dispatch: then nothing is detected. */
    prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, GUEST_END, USER_END - GUEST_END, 0);
}

struct start {
    void *(*routine)(void *);
    void *argument;
};

static void *run_thread(void *argument)
{
    struct start start = *(struct start *)argument;
    free(argument);
    detect_raw_syscalls();
    return start.routine(start.argument);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*routine)(void *),
                   void *argument)
{
    static int (*next)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    struct start *start = malloc(sizeof *start);

    if (!next)
        next = (int (*)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *))dlsym(
            RTLD_NEXT, "pthread_create");
    if (!start)
        return 11; /* EAGAIN */
    start->routine = routine;
    start->argument = argument;
    return next(thread, attributes, run_thread, start);
}

static char *put_number(char *to, unsigned value)
{
    if (value > 9)
        to = put_number(to, value / 10);
    *to++ = '0' + value % 10;
    return to;
}

/* Adds "pid status" to the file that the tests have made, if they have made one. */
static void leave_status(int status)
{
    const char *path = getenv("LX_WINE_STATUS");
    char text[32], *end = text;
    int file = path ? open(path, O_WRONLY | O_APPEND | O_CLOEXEC) : -1;

    if (file < 0)
        return;
    end = put_number(end, getpid());
    *end++ = ' ';
    end = put_number(end, status & 0xff);
    *end++ = '\n';
    if (write(file, text, end - text) < 0)
        end = text;
    close(file);
}

/* What Wine calls last in a process. */
void exit(int status)
{
    void (*next)(int) = (void (*)(int))dlsym(RTLD_NEXT, "exit");

    leave_status(status);
    /* For the test of this. */
    if (getenv("LX_WINE_SLOW_EXIT"))
        sleep(2);
    next(status);
    __builtin_unreachable();
}

__attribute__((constructor)) static void prepare(void)
{
    const char *slot = getenv("LX_WINE_FS_SLOT");
    struct sigaction report;

    if (slot)
        fs_slot = strtoul(slot, NULL, 0);
    memset(&report, 0, sizeof report);
    report.sa_sigaction = raw_syscall;
    report.sa_flags = SA_SIGINFO | SA_ONSTACK;
    next_sigaction()(SIGSYS, &report, NULL);
    detect_raw_syscalls();
}
