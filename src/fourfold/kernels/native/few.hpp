// One or two vectors times a matrix of bf16, read once and in the order it lies in: two numbers multiplied at once,
// summed in fp32, rounded at the end.

constexpr int FEW_UNIT = 64;              // rows of the matrix that a thread takes at a time
constexpr int64_t FEW_ALONE = 1 << 17;  // numbers of a matrix for which no other thread is woken

static INLINE float widened(uint16_t bits) {
    const uint32_t wide = uint32_t(bits) << 16;
    float number;
    memcpy(&number, &wide, sizeof number);
    return number;
}

static INLINE uint16_t narrowed(float number) {
    return uint16_t(_mm_cvtsi128_si32((__m128i)_mm_cvtneps_pbh(_mm_set_ss(number))));
}

// Up to 32 numbers from `at`; those not there are 0.
static INLINE __m512bh numbers(const uint16_t* at, int64_t left) {
    if (left >= 32) return (__m512bh)_mm512_loadu_si512(at);
    return (__m512bh)_mm512_maskz_loadu_epi16((1u << left) - 1, at);
}

// `ROWS` rows of the matrix from `row` on.
template <int COUNT, int ROWS> static INLINE void rows_of_few(const Few& call, int row) {
    const int64_t columns = call.columns;
    const uint16_t* weight = call.weight + row * columns;
    __m512 sums[ROWS][COUNT];
    EACH for (int r = 0; r < ROWS; ++r) EACH for (int n = 0; n < COUNT; ++n) sums[r][n] = _mm512_setzero_ps();
    for (int64_t at = 0; at < columns; at += 32) {
        __m512bh x[COUNT];
        EACH for (int n = 0; n < COUNT; ++n) x[n] = numbers(call.x + n * columns + at, columns - at);
        EACH for (int r = 0; r < ROWS; ++r) {
            const __m512bh w = numbers(weight + r * columns + at, columns - at);
            EACH for (int n = 0; n < COUNT; ++n) sums[r][n] = _mm512_dpbf16_ps(sums[r][n], w, x[n]);
        }
    }
    EACH for (int r = 0; r < ROWS; ++r) EACH for (int n = 0; n < COUNT; ++n) {
        float sum = _mm512_reduce_add_ps(sums[r][n]);
        if (call.bias) sum += widened(call.bias[row + r]);
        call.y[int64_t(n) * call.rows + row + r] = narrowed(sum);
    }
}

template <int COUNT, int ROWS> static void unit_of_few(const Few& call, int row, int end) {
    for (; row + ROWS <= end; row += ROWS) rows_of_few<COUNT, ROWS>(call, row);
    for (; row < end; ++row) rows_of_few<COUNT, 1>(call, row);
}

void few(const Few& call, int threads) {
    const bool alone = call.rows * int64_t(call.columns) < FEW_ALONE;
    run_team(alone ? 1 : threads, [&](Team& team, int) {
        team.share((call.rows + FEW_UNIT - 1) / FEW_UNIT, [&](int unit) {
            const int row = unit * FEW_UNIT, end = row + FEW_UNIT < call.rows ? row + FEW_UNIT : call.rows;
            call.count == 1 ? unit_of_few<1, 8>(call, row, end) : unit_of_few<2, 4>(call, row, end);
        });
    }, true);
}
