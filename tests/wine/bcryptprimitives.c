/* bcryptprimitives.dll with the one function that Rust's standard library takes from it. Wine 8
 * has no such file; Windows and Wine 10 have. */
#include <stddef.h>

/* RtlGenRandom, by the name that advapi32 exports it under. */
unsigned char __stdcall SystemFunction036(void *buffer, unsigned long len);

__declspec(dllexport) int __stdcall ProcessPrng(unsigned char *buffer, size_t len)
{
    while (len > 0) {
        unsigned long part = len > 0x10000000 ? 0x10000000 : (unsigned long)len;
        if (!SystemFunction036(buffer, part))
            return 0;
        buffer += part;
        len -= part;
    }
    return 1;
}
