/* SPDX-License-Identifier: Apache-2.0
 * Which instructions may run here: what the CPU has and what the operating system saves on a context
 * switch (XCR0 on x86; AMX must be asked for besides). A bit is set only when both agree. */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* syscall */
#endif
#include "kernels.h"

#if defined(RP_X86)
#include <cpuid.h>
#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif

enum { XCR0_AVX = 0x06, XCR0_AVX512 = 0xe6, XCR0_AMX = 0x60000 };
enum { /* leaf 7; older compilers lack the names */
    ECX_AVX512_VNNI = 1 << 11,
    ECX_AVX512_VPOPCNTDQ = 1 << 14,
    EDX_AMX = 1 << 22 | 1 << 24 | 1 << 25, /* bfloat16, tiles, int8 */
    EAX1_AVXVNNI = 1 << 4,                 /* subleaf 1 */
    EAX1_AVX512_BF16 = 1 << 5
};

static uint64_t xcr0(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return ((uint64_t)high << 32) | low;
}

/* Linux gives the 8 KB of tile registers to those who ask; the answer holds for the whole process. */
static int amx_permitted(void)
{
#ifdef __linux__
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
#else
    return 0;
#endif
}

static uint32_t detect(void)
{
    unsigned eax, ebx, ecx, edx, eax1 = 0, ebx1, ecx1, edx1;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & bit_OSXSAVE))
        return 0;
    const int avx = (ecx & bit_AVX) && (ecx & bit_FMA) && (ecx & bit_F16C);
    const uint64_t saved = xcr0();
    if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx))
        return 0;
    __get_cpuid_count(7, 1, &eax1, &ebx1, &ecx1, &edx1);
    uint32_t features = 0;
    if (avx && (ebx & bit_AVX2) && (saved & XCR0_AVX) == XCR0_AVX) {
        features |= RP_CPU_AVX2;
        if (eax1 & EAX1_AVXVNNI)
            features |= RP_CPU_AVXVNNI;
    }
    if ((features & RP_CPU_AVX2) && (ebx & bit_AVX512F) && (saved & XCR0_AVX512) == XCR0_AVX512) {
        features |= RP_CPU_AVX512;
        if (ecx & ECX_AVX512_VNNI)
            features |= RP_CPU_AVX512_VNNI;
        if (ecx & ECX_AVX512_VPOPCNTDQ)
            features |= RP_CPU_AVX512_VPOPCNTDQ;
        if (eax1 & EAX1_AVX512_BF16)
            features |= RP_CPU_AVX512_BF16;
        if ((edx & EDX_AMX) == EDX_AMX && (saved & XCR0_AMX) == XCR0_AMX && amx_permitted())
            features |= RP_CPU_AMX;
    }
    return features;
}
#elif defined(RP_ARM64)
#if defined(__linux__)
#include <sys/auxv.h>
static uint32_t detect(void)
{
    enum { HWCAP_DOTPROD = 1 << 20, HWCAP2_BFLOAT16 = 1 << 14 };
    return (getauxval(AT_HWCAP) & HWCAP_DOTPROD ? RP_CPU_NEON_DOTPROD : 0)
           | (getauxval(AT_HWCAP2) & HWCAP2_BFLOAT16 ? RP_CPU_NEON_BF16 : 0);
}
#elif defined(__APPLE__)
#include <sys/sysctl.h>
static int has(const char *name)
{
    int value = 0;
    size_t size = sizeof value;
    return sysctlbyname(name, &value, &size, NULL, 0) == 0 && value;
}

static uint32_t detect(void)
{
    return (has("hw.optional.arm.FEAT_DotProd") ? RP_CPU_NEON_DOTPROD : 0)
           | (has("hw.optional.arm.FEAT_BF16") ? RP_CPU_NEON_BF16 : 0);
}
#else
static uint32_t detect(void) { return 0; }
#endif
#else
static uint32_t detect(void) { return 0; }
#endif

#if defined(RP_X86) || defined(RP_ARM64)
#include <stdatomic.h>

uint32_t rp_cpu_features(void)
{
    /* Kept, because a hypervisor makes CPUID cost microseconds. Two threads that both detect store the
     * same value. */
    enum { KNOWN = 1u << 31 };
    static _Atomic uint32_t cached;
    uint32_t features = atomic_load_explicit(&cached, memory_order_relaxed);
    if (!features) {
        features = detect() | KNOWN;
        atomic_store_explicit(&cached, features, memory_order_relaxed);
    }
    return features & ~(uint32_t)KNOWN;
}
#else /* no atomics asked of other compilers */
uint32_t rp_cpu_features(void) { return detect(); }
#endif
