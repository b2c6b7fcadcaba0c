// The features that cpuid shows are the ones that the instructions have: AVX2 code runs if it is announced.
#include "../case.h"
#include <immintrin.h>
__attribute__((target("avx2"))) static long sum_avx2(const int *v) {
    __m256i a = _mm256_loadu_si256((void *)v), b = _mm256_loadu_si256((void *)(v + 8));
    int out[8];
    _mm256_storeu_si256((void *)out, _mm256_add_epi32(a, b));
    long sum = 0;
    for (int i = 0; i < 8; i++)
        sum += out[i];
    return sum;
}
int main(void) {
    __builtin_cpu_init();
    int v[16];
    for (int i = 0; i < 16; i++)
        v[i] = i * i;
    say("avx2 %d, avx512f %d, sse4.2 %d, bmi2 %d", !!__builtin_cpu_supports("avx2"),
        !!__builtin_cpu_supports("avx512f"), !!__builtin_cpu_supports("sse4.2"), !!__builtin_cpu_supports("bmi2"));
    if (__builtin_cpu_supports("avx2"))
        NUM(sum_avx2(v));
    say("%s", strstr(get("/proc/cpuinfo"), " sse4_2 ") ? "listed" : "not listed");
}
