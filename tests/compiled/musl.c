/* Threads, signals, children, stdio: what musl does in its own ways. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int turn, sum;
static __thread int own;

static void *take_turns(void *arg) {
    int me = (int)(long)arg;
    for (int round = 0; round < 50; round++) {
        pthread_mutex_lock(&mutex);
        while (turn != round * 4 + me) pthread_cond_wait(&changed, &mutex);
        turn++; sum += me; own++;
        pthread_cond_broadcast(&changed);
        pthread_mutex_unlock(&mutex);
    }
    return (void *)(long)own;
}

static volatile sig_atomic_t handled;
static void note(int signal) { handled = signal; }

static void *sleep_for_ever(void *arg) {
    (void)arg;
    for (;;) pause();
    return 0;
}
static void cleanup(void *arg) { *(int *)arg = 1; }
static void *cancelled(void *arg) {
    pthread_cleanup_push(cleanup, arg);
    sleep_for_ever(0);
    pthread_cleanup_pop(1);
    return 0;
}
extern char **environ;

int main(int argc, char **argv) {
    if (argc > 1) { printf("child of exec: %s\n", argv[1]); return 5; }
    pthread_t threads[4];
    long total = 0;
    for (long i = 0; i < 4; i++) pthread_create(&threads[i], 0, take_turns, (void *)i);
    for (int i = 0; i < 4; i++) { void *got; pthread_join(threads[i], &got); total += (long)got; }
    printf("turns %d sum %d own %ld\n", turn, sum, total);

    struct sigaction action = { .sa_handler = note };
    sigaction(SIGUSR1, &action, 0);
    raise(SIGUSR1);
    printf("raise %d\n", handled == SIGUSR1);
    handled = 0;
    struct timespec time = { 5, 0 };
    sigaction(SIGALRM, &action, 0);
    alarm(1);
    printf("nanosleep %d", nanosleep(&time, &time));
    printf(" %d\n", errno == EINTR && handled == SIGALRM);

    int cleaned = 0;
    pthread_t victim; void *how;
    pthread_create(&victim, 0, cancelled, &cleaned);
    pthread_cancel(victim);
    pthread_join(victim, &how);
    printf("cancelled %d %d\n", how == PTHREAD_CANCELED, cleaned);

    pthread_mutexattr_t attr; pthread_mutex_t pi;
    pthread_mutexattr_init(&attr);
    int protocol = pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_init(&pi, &attr);
    printf("pi %d", protocol);
    printf(" %d", pthread_mutex_lock(&pi));
    printf(" %d", pthread_mutex_lock(&pi) == EDEADLK);
    printf(" %d\n", pthread_mutex_unlock(&pi));

    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) { execl(argv[0], argv[0], "fork", (char *)0); _exit(1); }
    int status; waitpid(pid, &status, 0);
    printf("fork %d\n", WEXITSTATUS(status));
    fflush(stdout);
    char *args[] = { argv[0], "spawn", 0 };
    posix_spawn(&pid, argv[0], 0, 0, args, environ);
    waitpid(pid, &status, 0);
    printf("posix_spawn %d\n", WEXITSTATUS(status));
    FILE *pipe = popen("echo one; echo two", "r");
    char line[64]; int lines = 0;
    while (fgets(line, sizeof line, pipe)) { printf("line %s", line); lines++; }
    printf("popen %d %d\n", lines, pclose(pipe));
    FILE *file = tmpfile();
    for (int i = 0; i < 10000; i++) fprintf(file, "%d\n", i);
    rewind(file);
    long read_sum = 0; int value;
    while (fscanf(file, "%d", &value) == 1) read_sum += value;
    printf("tmpfile %ld %ld\n", read_sum, ftell(file));
    printf("system %d\n", WEXITSTATUS(system("exit 4")));
    setenv("LX", "yes", 1);
    printf("getenv %s\n", getenv("LX"));
    sem_t sem; sem_init(&sem, 0, 0);
    clock_gettime(CLOCK_REALTIME, &time); time.tv_nsec += 50000000;
    if (time.tv_nsec >= 1000000000) { time.tv_sec++; time.tv_nsec -= 1000000000; }
    printf("sem_timedwait %d", sem_timedwait(&sem, &time)); printf(" %d\n", errno == ETIMEDOUT);
    printf("setuid %d\n", setuid(getuid()));
    return 0;
}
