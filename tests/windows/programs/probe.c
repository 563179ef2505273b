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
    if (!strcmp(what, "sleep")) {
        Sleep(60000);
        return 0;
    }
    return argc > 2 ? atoi(argv[2]) : 99;
}
