/* SPDX-License-Identifier: Apache-2.0
 * Which instructions may run here: what the CPU has and what the operating system saves on a context
 * switch (XCR0). A bit is set only when both agree. */
#include "kernels.h"

#ifdef RP_X86
#include <cpuid.h>
#include <stdatomic.h>

enum { XCR0_AVX = 0x06, XCR0_AVX512 = 0xe6, XCR0_AMX = 0x60000 };
enum { /* older compilers lack the names */
    LEAF7_ECX_AVX512VNNI = 1 << 11,
    LEAF7_EDX_AMX_BF16 = 1 << 22,
    LEAF7_EDX_AMX_TILE = 1 << 24,
    LEAF7_1_EAX_AVXVNNI = 1 << 4
};

static uint64_t xcr0(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return ((uint64_t)high << 32) | low;
}

static uint32_t detect(void)
{
    unsigned eax, ebx, ecx, edx;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & bit_OSXSAVE))
        return 0;
    const int fma = (ecx & bit_FMA) && (ecx & bit_AVX);
    const uint64_t saved = xcr0();
    if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx))
        return 0;
    uint32_t features = 0;
    if (fma && (ebx & bit_AVX2) && (saved & XCR0_AVX) == XCR0_AVX)
        features |= RP_CPU_AVX2_FMA;
    if ((ebx & bit_AVX512F) && (saved & XCR0_AVX512) == XCR0_AVX512)
        features |= RP_CPU_AVX512F;
    if ((features & RP_CPU_AVX512F) && (ecx & LEAF7_ECX_AVX512VNNI))
        features |= RP_CPU_VNNI;
    const unsigned amx = LEAF7_EDX_AMX_BF16 | LEAF7_EDX_AMX_TILE;
    if ((edx & amx) == amx && (saved & XCR0_AMX) == XCR0_AMX)
        features |= RP_CPU_AMX_BF16;
    if ((features & RP_CPU_AVX2_FMA) && __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) && (eax & LEAF7_1_EAX_AVXVNNI))
        features |= RP_CPU_VNNI;
    return features;
}

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
#else
uint32_t rp_cpu_features(void) { return 0; }
#endif
