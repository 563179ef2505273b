/* A program of Windows for the tests of interop: does what its first argument says. */
#include <fcntl.h>
#include <io.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ctype.h>
#include <windows.h>

static int upper(void)
{
    char buffer[8192];
    size_t count;
    while ((count = fread(buffer, 1, sizeof buffer, stdin)) > 0) {
        for (size_t at = 0; at < count; at++)
            buffer[at] = (char)toupper((unsigned char)buffer[at]);
        fwrite(buffer, 1, count, stdout);
    }
    return 0;
}

/* Waits for the end of standard input. */
static void wait_for_end(void)
{
    char letter;
    while (fread(&letter, 1, 1, stdin) > 0) {
    }
}

/* Starts a command line in a job of its own, which ends with standard input. */
static int job(char *line)
{
    STARTUPINFOA startup = {.cb = sizeof startup, .dwFlags = STARTF_USESTDHANDLES};
    PROCESS_INFORMATION made;
    SECURITY_ATTRIBUTES inherit = {sizeof inherit, NULL, TRUE};
    HANDLE job = CreateJobObjectA(NULL, NULL);
    startup.hStdInput = CreateFileA("NUL", GENERIC_READ, 3, &inherit, OPEN_EXISTING, 0, NULL);
    startup.hStdOutput = GetStdHandle(STD_OUTPUT_HANDLE);
    startup.hStdError = GetStdHandle(STD_ERROR_HANDLE);
    if (!CreateProcessA(NULL, line, NULL, NULL, TRUE, CREATE_SUSPENDED, NULL, NULL, &startup, &made)
        || !AssignProcessToJobObject(job, made.hProcess)) {
        printf("no job: %lu\n", GetLastError());
        return 1;
    }
    ResumeThread(made.hThread);
    wait_for_end();
    TerminateJobObject(job, 1);
    WaitForSingleObject(made.hProcess, 10000);
    puts("ended");
    return 0;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    _setmode(0, _O_BINARY);
    _setmode(1, _O_BINARY);
    _setmode(2, _O_BINARY);
    if (!strcmp(what, "upper"))
        return upper();
    if (!strcmp(what, "args")) {
        for (int at = 2; at < argc; at++)
            printf("[%s]\n", argv[at]);
        return 0;
    }
    if (!strcmp(what, "env")) {
        for (int at = 2; at < argc; at++) {
            const char *value = getenv(argv[at]);
            printf("%s\n", value ? value : "none");
        }
        return 0;
    }
    if (!strcmp(what, "cwd")) {
        char path[MAX_PATH];
        GetCurrentDirectoryA(sizeof path, path);
        printf("%s\n", path);
        return 0;
    }
    if (!strcmp(what, "err")) {
        fputs("to stderr\n", stderr);
        return 3;
    }
    if (!strcmp(what, "job") && argc > 2)
        return job(argv[2]);
    if (!strcmp(what, "lock") && argc > 2) {
        HANDLE file = CreateFileA(argv[2], GENERIC_READ, 0, NULL, OPEN_EXISTING, 0, NULL);
        puts(file == INVALID_HANDLE_VALUE ? "no file" : "locked");
        fflush(stdout);
        wait_for_end();
        return 0;
    }
    if (!strcmp(what, "mode")) {
        /* First lets others do what they still have to do. */
        Sleep(argc > 2 ? atoi(argv[2]) : 0);
        HANDLE input = CreateFileA("CONIN$", GENERIC_READ | GENERIC_WRITE, 3, NULL, OPEN_EXISTING, 0,
                                   NULL);
        HANDLE screen = CreateFileA("CONOUT$", GENERIC_READ | GENERIC_WRITE, 3, NULL, OPEN_EXISTING,
                                    0, NULL);
        DWORD modes[2] = {0, 0};
        GetConsoleMode(input, &modes[0]);
        GetConsoleMode(screen, &modes[1]);
        printf("mode %04lx%04lx cp %u %u.\n", modes[0], modes[1], GetConsoleCP(), GetConsoleOutputCP());
        return 0;
    }
    if (!strcmp(what, "resize")) {
        HANDLE screen = CreateFileA("CONOUT$", GENERIC_READ | GENERIC_WRITE, 3, NULL, OPEN_EXISTING,
                                    0, NULL);
        SMALL_RECT window = {0, 0, 59, 19};
        COORD buffer = {60, 20};
        return !SetConsoleWindowInfo(screen, TRUE, &window)
               || !SetConsoleScreenBufferSize(screen, buffer);
    }
    if (!strcmp(what, "sleep")) {
        Sleep(60000);
        return 0;
    }
    return argc > 2 ? atoi(argv[2]) : 99;
}
