#include "pool.hpp"

#include <condition_variable>
#include <mutex>
#include <thread>
#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

namespace {

constexpr int SPINS = 200000;     // inside a region, before the processor is offered to others: some milliseconds
constexpr int SPINS_IDLE = 120000;  // between regions, before a thread sleeps: longer than between two products of a token

inline void pause() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

class Pool {
public:
    std::mutex use;

    void run(int threads, Region region, void* data, bool last) {
        while (started < threads - 1) std::thread(&Pool::work, this, ++started).detach();
        Phases shared;
        {
            std::lock_guard<std::mutex> lock(mutex);
            body = region, argument = data, phases = &shared, wanted = threads;
            patience.store(last ? 0 : SPINS_IDLE, std::memory_order_relaxed);
            job.fetch_add(1, std::memory_order_release);
        }
        awake.notify_all();
        Team team(shared);
        region(data, team, 0);
        {
            std::lock_guard<std::mutex> lock(mutex);
            wanted = 0;  // who has not begun need not
        }
        for (int spins = 0; inside.load(std::memory_order_acquire); ++spins) offer_processor(spins);
    }

private:
    int started = 0;
    std::mutex mutex;
    std::condition_variable awake;
    std::atomic<unsigned> job{0};
    std::atomic<int> inside{0};
    std::atomic<int> patience{SPINS_IDLE};
    Region body = nullptr;
    void* argument = nullptr;
    Phases* phases = nullptr;
    int wanted = 0;

    void work(int member) {
        unsigned seen = 0;
        for (;;) {
            const int most = patience.load(std::memory_order_relaxed);
            for (int spins = 0; spins < most && job.load(std::memory_order_acquire) == seen; ++spins) pause();
            std::unique_lock<std::mutex> lock(mutex);
            awake.wait(lock, [&] { return job.load(std::memory_order_relaxed) != seen; });
            seen = job.load(std::memory_order_relaxed);
            if (member >= wanted) continue;
            inside.fetch_add(1, std::memory_order_relaxed);
            Team team(*phases);
            const Region region = body;
            void* data = argument;
            lock.unlock();
            region(data, team, member);
            inside.fetch_sub(1, std::memory_order_release);
        }
    }
};

// Never destroyed: its threads wait until the process ends. A forked child has none of them and begins anew.
std::atomic<Pool*> pool{nullptr};

Pool& the_pool() {
    static std::once_flag once;
    std::call_once(once, [] {
        pool = new Pool;
#if defined(__unix__) || defined(__APPLE__)
        pthread_atfork(nullptr, nullptr, [] { pool = new Pool; });
#endif
    });
    return *pool.load();
}

std::atomic<Fork> borrowed{nullptr};

struct Borrowing {  // a region that threads of another library run
    Region region;
    void* data;
    Phases phases;
    std::atomic<int> members{0};

    static void enter(void* at) {
        Borrowing& call = *static_cast<Borrowing*>(at);
        const int member = call.members.fetch_add(1, std::memory_order_relaxed);
        Team team(call.phases);
        call.region(call.data, team, member);
    }
};

}  // namespace

void offer_processor(int spins) { spins < SPINS ? pause() : std::this_thread::yield(); }

void borrow_threads(Fork fork) { borrowed = fork; }

void run_region(int threads, Region region, void* data, bool last) {
    const Fork fork = borrowed.load();
    if (last && fork && threads > 1) {
        Borrowing call{region, data};
        return fork(Borrowing::enter, &call, unsigned(threads), 0);
    }
    Pool& shared = the_pool();
    std::unique_lock<std::mutex> lock(shared.use, std::try_to_lock);
    if (threads > 1 && lock.owns_lock()) return shared.run(threads, region, data, last);
    Phases phases;
    Team alone(phases);
    region(data, alone, 0);
}
